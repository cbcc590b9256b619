#!/usr/bin/env python3
"""A webhook that allows everything and takes over a new certificate from its folder, as ours does.

usage: webhook.py ADDRESS PORT FOLDER"""

import http.server
import json
import ssl
import sys
import threading
import time


class Webhook(http.server.BaseHTTPRequestHandler):
    # One connection for each review: each proves the certificate anew.
    protocol_version = "HTTP/1.0"

    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response = {"uid": review["request"]["uid"], "allowed": True}
        body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def follow(context, folder):
    while True:
        time.sleep(0.5)
        try:
            context.load_cert_chain(f"{folder}/tls.crt", f"{folder}/tls.key")
        except (OSError, ssl.SSLError):
            pass  # half written; the next look finds it whole


address, port, folder = sys.argv[1:4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{folder}/tls.crt", f"{folder}/tls.key")
server = http.server.ThreadingHTTPServer((address, int(port)), Webhook)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
threading.Thread(target=follow, args=(context, folder), daemon=True).start()
server.serve_forever()
