"""``python -m usechat.cli`` is ``usechat``."""

import sys

from usechat.cli import main

sys.exit(main())
