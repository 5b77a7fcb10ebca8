"""Bring the generated stubs into what is built.

They lie beside this folder in the repository, and inside it in an sdist.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STUBS = Path("generated/imagebatch")


class GeneratedStubs(BuildHookInterface[Any]):
    """Add the import package `imagebatch` to wheels and sdists; an editable install finds it by dev-mode-dirs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the folder and where it goes. Raises FileNotFoundError outside of a whole repository or sdist."""
        if version == "editable":
            return
        here = Path(self.root)
        found = [folder / STUBS for folder in (here, here.parent) if (folder / STUBS).is_dir()]
        if not found:
            raise FileNotFoundError(f"{STUBS} is neither in {here} nor beside it: build from a whole repository")
        target = STUBS if self.target_name == "sdist" else Path(STUBS.name)
        build_data["force_include"][str(found[0])] = str(target)
