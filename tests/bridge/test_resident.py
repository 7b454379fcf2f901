import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20


@pytest.mark.parametrize("held", [0, 256])
def test_a_process_tells_its_own_memory_not_that_of_whoever_started_it(held):
    starter = np.ones(512 * MIB, np.uint8)
    code = f"from backend.bridge.resident import most_resident; a = b'x' * ({held} << 20); print(most_resident())"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert held * MIB <= int(told.stdout) < (held + 128) * MIB < starter.nbytes
