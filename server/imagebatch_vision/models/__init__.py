"""The models that ship with `describe` and `verify`; MODELS.md says where each comes from."""

from pathlib import Path

FOLDER = Path(__file__).parent
