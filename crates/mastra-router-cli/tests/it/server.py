"""A server for tests of `run`. What it does is in its arguments:

any        listens on a port that the system chooses, whatever PORT says
slow=N     listens after N seconds
daemon     goes on in the background, in a session of its own, with an empty environment
child      serves in a child, and only waits itself
deaf       ignores SIGTERM, SIGINT and SIGHUP
log=FILE   writes each of these signals into a file, and ends 0.3 seconds after the first
drain      after SIGTERM, ends once no stream is open any more, as uvicorn does
starts=FILE  adds a line when it begins
says=TEXT  writes that on stdout when it begins
dies=N     says why on stderr, and exits with N instead of serving, while there is no file named "mended"
pid=FILE   writes the pid of the process that serves into a file
"""
import base64, hashlib, http.server, json, os, signal, sys, threading, time

args = dict(arg.partition("=")[::2] for arg in sys.argv[1:])
if "daemon" in args:
    port = os.environ["PORT"]
    if os.fork():
        sys.exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.execve(sys.executable, [sys.executable, __file__] + [a for a in sys.argv[1:] if a != "daemon"], {"PORT": port})
if "child" in args and (pid := os.fork()):
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)

streams = 0
closing = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body):
        body = body.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        global streams, server
        if self.path == "/health":
            self.answer("fine")
        elif self.path == "/env":
            self.answer(json.dumps({"env": dict(os.environ), "pid": os.getpid(), "argv": sys.argv}))
        elif self.path == "/move":
            old, server = server, serve(0)
            threading.Thread(target=old.shutdown).start()
            self.answer(str(server.server_port))
            old.socket.close()
        elif self.path == "/slow":
            time.sleep(1)
            self.answer("app /slow")
        elif self.path == "/ws":
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
            self.end_headers()
            self.close_connection = True
            self.rfile.read()
        elif self.path == "/events":
            streams += 1
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            try:
                while True:
                    self.wfile.write(b"data: 0\n\n")
                    time.sleep(0.02)
            except OSError:
                pass
            streams -= 1
        else:
            self.answer("app " + self.path)


    def do_POST(self):
        self.answer("got " + self.rfile.read(int(self.headers["Content-Length"])).decode())


def serve(port):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def received(number, _):
    if "log" in args:
        with open(args["log"], "a") as log:
            log.write(signal.Signals(number).name + "\n")
    if "drain" in args:
        while streams:
            time.sleep(0.01)
        os._exit(0)
    if not closing.is_set():
        closing.set()
        threading.Timer(0.3, lambda: os._exit(0)).start()


for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    if "deaf" in args:
        signal.signal(number, signal.SIG_IGN)
    elif "log" in args or "drain" in args:
        signal.signal(number, received)
if "log" in args:
    signal.signal(signal.SIGUSR1, lambda *_: open(args["log"], "a").write("SIGUSR1\n"))
if "starts" in args:
    with open(args["starts"], "a") as starts:
        starts.write("start\n")
if "says" in args:
    print(args["says"], flush=True)
if "dies" in args and not os.path.exists("mended"):
    print("cannot find its database", file=sys.stderr, flush=True)
    sys.exit(int(args["dies"]))
time.sleep(float(args.get("slow", 0)))
server = serve(0 if "any" in args else int(os.environ["PORT"]))
if "pid" in args:
    with open(args["pid"] + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(args["pid"] + ".new", args["pid"])
while True:
    signal.pause()
