"""Root of the code location: reads the environment, builds, and offers ``defs`` to Dagster."""

import os

from orchestration.code_location import code_location
from orchestration.settings import Settings

defs = code_location(Settings.read(os.environ))
