"""Where this Python keeps itself and its packages, as JSON: what a sandbox must show it. Loads no package."""
import json
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
# A virtual environment's own prefix, that of the Python it was made from, and where its link ends.
program = os.path.realpath(sys.executable)
prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, os.path.dirname(os.path.dirname(program))}
own = [os.path.join(prefix, part) for prefix in sorted(prefixes) for part in ("bin", "lib", "lib64", "pyvenv.cfg")]
packages = [path for path in sys.path if os.path.isabs(path) and os.path.isdir(path) and os.path.abspath(path) != here]
print(
    json.dumps(
        {
            "python": os.path.abspath(sys.executable),
            "own": [path for path in own if os.path.exists(path)],
            # Those it finds by itself, and those it must be told of.
            "packages": [path for path in packages if path.startswith(tuple(f"{prefix}/" for prefix in prefixes))],
            "added": [path for path in packages if not path.startswith(tuple(f"{prefix}/" for prefix in prefixes))],
        }
    )
)
