"""A mail server that takes every mail, and remembers it."""

import email
import email.policy
import socketserver
import threading

from .waiting import wait_until


class MailSink:
    """Speaks as much SMTP as a client needs that has nothing special to say."""

    def __init__(self):
        self.mails = []
        taken = self.mails

        class Handler(socketserver.StreamRequestHandler):
            def say(self, line):
                self.wfile.write(f"{line}\r\n".encode())

            def handle(self):
                self.say("220 sink")
                for line in iter(self.rfile.readline, b""):
                    command = line[:4].upper()
                    if command == b"QUIT":
                        return self.say("221 bye")
                    if command != b"DATA":
                        self.say("250 fine")
                        continue
                    self.say("354 go on")
                    lines = iter(self.rfile.readline, b".\r\n")
                    text = b"".join(one[1:] if one.startswith(b"..") else one for one in lines)
                    taken.append(email.message_from_bytes(text, policy=email.policy.default))
                    self.say("250 taken")

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, count, seconds=20):
        wait_until(lambda: len(self.mails) >= count, f"{count} mails", seconds=seconds)
        return self.mails

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
