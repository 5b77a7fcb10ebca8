"""Import it before gRPC, so that forks of this process are none of gRPC's business.

They only lead to other programs (PostgreSQL under a user of its own), and gRPC would log that its threads were busy.
The programs that are measured don't inherit it: they run as they do for everybody.
"""

from __future__ import annotations

import os

_NAME = "GRPC_ENABLE_FORK_SUPPORT"

os.environ[_NAME] = "false"
import grpc  # noqa: E402, F401 - it reads the variable now, and never again

del os.environ[_NAME]
