"""How a command ends: 0, 1 by its own choice, 2 for a person's mistake, 130 when interrupted."""

import errno
import sys
from collections.abc import Callable

from smil_ray.errors import SmilRayError

MISTAKE = 2
INTERRUPTED = 130
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def exit_code(program: str, run: Callable[[], int], *, remedy: str = "") -> int:
    """Run a command; a person's mistake becomes one sentence on stderr and exit code 2.

    Args:
        program: What the sentence begins with, e.g. `smil-ray predict`.
        run: The command.
        remedy: What to do after an interruption.
    """
    try:
        return run()
    except SmilRayError as error:
        return _say(program, str(error), MISTAKE)
    except OSError as error:
        if error.filename is not None:
            return _say(program, f"{error.filename} cannot be used: {error.strerror}.", MISTAKE)
        if error.errno not in _NO_ROOM:
            raise
        return _say(program, f"a result cannot be written: {error.strerror}.", MISTAKE)
    except KeyboardInterrupt:
        return _say(program, f"interrupted{remedy and '; '}{remedy}", INTERRUPTED)


def _say(program: str, sentence: str, code: int) -> int:
    sys.stderr.write(f"{program}: {sentence}\n")
    return code
