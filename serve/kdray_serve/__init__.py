"""The service: the registry's models behind HTTP and a page, on Ray Serve."""

import os

# NumPy's threads wait for each other at every small product; requests run side by side instead.
# Read when NumPy is imported, so it stands before all other imports.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
