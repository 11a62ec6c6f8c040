"""Small servers of a package, as anybody would write them: what ``kdray bench serve`` compares.

Each is started as ``python -m kdray_serve.baselines.NAME --port PORT [--package FOLDER]``.
"""
