"""Doing it: the steps of a plan performed on Ray; one module a step."""
