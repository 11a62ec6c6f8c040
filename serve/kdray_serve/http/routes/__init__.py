"""The routes, a file for each group; each has ``router(desk) -> APIRouter``."""
