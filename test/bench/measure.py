"""measure.py PROGRAM [ARGUMENT]...: runs it and writes to descriptor 3 what it and its ended children took, as JSON.

The peak is the largest resident size of any one of its processes; a process forked from here counts 10 MB at least.
"""
import json
import os
import sys
import time

started = time.monotonic()
child = os.fork()
if child == 0:
    os.close(3)
    try:
        os.execvp(sys.argv[1], sys.argv[1:])
    except OSError as error:
        print(f"{sys.argv[1]}: {error.strerror}", file=sys.stderr)
        os._exit(127)
_, status, used = os.wait4(child, 0)
figures = {
    "wallMs": (time.monotonic() - started) * 1000,
    "cpuMs": (used.ru_utime + used.ru_stime) * 1000,
    "peakBytes": used.ru_maxrss * 1024,
}
os.write(3, json.dumps(figures).encode())
sys.exit(os.waitstatus_to_exitcode(status))
