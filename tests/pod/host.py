"""`host.py NAME LOG PORT...`: a host that the app could talk to, by HTTP on its ports and UDP on 9999. Every contact is a line in its log."""

import socket
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

name, log_path, *ports = sys.argv[1:]
log = open(log_path, "a", buffering=1)


class Http(ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def verify_request(self, request, client_address):
        log.write(f"connection {self.server_address[1]}\n")
        return True


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        decided = self.headers.get("wcp-decision-id", "none")
        log.write(f"GET {self.path} decision {decided}\n")
        body = f"this is {name}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Datagram(socketserver.BaseRequestHandler):
    def handle(self):
        log.write("datagram\n")


class Udp(socketserver.UDPServer):
    address_family = socket.AF_INET6


servers = [*(Http(("::", int(port)), Answer) for port in ports), Udp(("::", 9999), Datagram)]
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
print("up", flush=True)
threading.Event().wait()
