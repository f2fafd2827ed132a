import json
import os
import pkgutil
import sys
from importlib import import_module

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import benchmarks


def main() -> None:
    subjects = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.name.startswith("_")]
    chosen = sys.argv[1:] or subjects
    unknown = set(chosen) - set(subjects)
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(subjects)}")
    for name in chosen:
        module = import_module(f"benchmarks.{name}")
        if hasattr(module, "figures"):
            for figure in module.figures():
                print(json.dumps(figure), flush=True)


if __name__ == "__main__":
    main()
