"""Prints the stated minimum of every dependency as a pip constraint: `keras>=3.12` in setup.cfg becomes `keras==3.12`.

python tools/minimum_requirements.py > constraints.txt
"""

import configparser
import re
from pathlib import Path

SETUP_CFG = Path(__file__).parents[1] / "setup.cfg"


def minimum_requirements(setup_cfg):
    """Reads `install_requires` from the text of a setup.cfg and returns one `name==version` for each requirement."""
    config = configparser.ConfigParser()
    config.read_string(setup_cfg)
    return [_exactly_minimum(line) for line in config["options"]["install_requires"].split("\n") if line.strip()]


def _exactly_minimum(requirement):
    match = re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9.]+)", requirement.strip())
    if match is None:
        raise ValueError(f"Expected a requirement of the form `name>=version` in setup.cfg. Received: {requirement!r}.")
    return f"{match[1]}=={match[2]}"


if __name__ == "__main__":
    print("\n".join(minimum_requirements(SETUP_CFG.read_text(encoding="utf-8"))))
