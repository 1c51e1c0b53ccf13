"""The methods, and the only list of ours. A method is one folder, and its record stands in the folder's `__init__`.

A package adds one by an entry point `truealign.methods` that names its record.
"""

from align import plugins
from align.methods.acre import ACRE
from align.methods.crome import CROME
from align.methods.deconfound import DECONFOUND
from align.methods.grpo import GRPO
from align.methods.method import Method
from align.methods.rrpo import RRPO
from align.methods.sft import SFT

_OURS: dict[str, Method] = {method.name: method for method in (GRPO, ACRE, RRPO, CROME, DECONFOUND, SFT)}
METHODS = _OURS | plugins.installed(plugins.METHODS, Method, _OURS)
