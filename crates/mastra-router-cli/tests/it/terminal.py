"""Runs a command in a terminal of its own: terminal.py SCRIPT CMD...

SCRIPT has a line for each thing to do: `until TEXT` waits for a text on the terminal, `file PATH` for a file with a line in
it, `shell CMD` for a command that succeeds, `type TEXT` types (with \\x03 for Ctrl-C). What the terminal shows goes to stdout; the exit code is the command's.
Nothing may take longer than TERMINAL_MOST seconds (60).
"""
import os, pty, select, subprocess, sys, time

pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
shown = b""
deadline = time.monotonic() + float(os.environ.get("TERMINAL_MOST", 60))


def read():
    global shown
    if not select.select([terminal], [], [], 0.02)[0]:
        return True
    try:
        data = os.read(terminal, 65536)
    except OSError:
        data = b""
    shown += data
    return bool(data)


for line in sys.argv[1].splitlines():
    what, _, text = line.partition(" ")
    if what == "type":
        os.write(terminal, text.encode().decode("unicode_escape").encode())
    while (
        what == "until" and text.encode() not in shown
        or what == "file" and not (os.path.exists(text) and os.path.getsize(text))
        or what == "shell" and subprocess.run(text, shell=True, stdout=subprocess.DEVNULL).returncode
    ):
        if time.monotonic() > deadline or not read() and what == "until":
            sys.exit(f"never came: {line}; shown: {shown!r}")
while read():
    if time.monotonic() > deadline:
        sys.exit(f"it does not end; shown: {shown!r}")
sys.stdout.buffer.write(shown)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
