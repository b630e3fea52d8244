"""Root of the code location: reads the environment, builds, and offers ``defs`` to Dagster."""

import os
import warnings

import dagster as dg

from orchestration.code_location import code_location
from orchestration.settings import Settings
from orchestration.third_parties import quieten

warnings.filterwarnings("ignore", category=dg.BetaWarning)  # backfill policies, owners of sensors

quieten(os.environ)
defs = code_location(Settings.read(os.environ))
