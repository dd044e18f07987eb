"""What a user meets who installed the wheel: run by dist_check.py in an environment, with that environment's Python.

Every public name is imported. What is not there may only be told by an error of ours that names what to install. Prints
a line of JSON: the packages with public names, how many names could be imported, and the faults.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import sys
from pathlib import Path

import ec_agent
from ec_agent.errors import EcAgentError

INSTALLS = re.compile(r"pip install ('\S+\[\w+\]'|[a-z])|ec-agent fetch \w+|--upgrade")


def public_packages() -> list[str]:
    """The packages whose public names a stub lists, and those that are imported by name."""
    root = Path(ec_agent.__file__).parent
    stubs = sorted(stub.parent.relative_to(root.parent) for stub in root.rglob("__init__.pyi"))
    modules = [module.name for module in pkgutil.iter_modules(ec_agent.__path__, "ec_agent.") if not module.ispkg]
    return [".".join(each.parts) for each in stubs] + modules + ["ec_agent.evaluation.inspect_ai"]


def main() -> None:
    """Import all of it."""
    faults, imported, told = [], 0, {}
    packages = public_packages()
    for package in packages:
        try:
            module = importlib.import_module(package)
        except EcAgentError as error:
            told[package] = str(error)
            continue
        except Exception as error:  # whatever else is a fault
            faults.append(f"import {package}: {type(error).__name__}: {error}")
            continue
        for name in getattr(module, "__all__", ()):
            try:
                getattr(module, name)
                imported += 1
            except EcAgentError as error:
                told[f"{package}.{name}"] = str(error)
            except Exception as error:
                faults.append(f"{package}.{name}: {type(error).__name__}: {error}")
    faults += [
        f"{name} says nothing of what to install: {text}" for name, text in told.items() if not INSTALLS.search(text)
    ]
    faults += [f"{name} takes more than a line: {text}" for name, text in told.items() if "\n" in text]
    print(json.dumps({"packages": len(packages), "imported": imported, "told": told, "faults": faults}))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
