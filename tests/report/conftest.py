import sys
from pathlib import Path

# helpers of these tests (a synthetic run, a WebDriver client) are imported by name, however pytest imports the tests
sys.path.insert(0, str(Path(__file__).parent))
