"""The step ``explain``, piece by piece: what workers do for it, and what is made of it."""
