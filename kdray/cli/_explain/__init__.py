"""The parts of ``kdray explain``: what is wanted, which images, the work, its files and tables."""
