#!/usr/bin/env python3
"""The smallest mutating webhook: labels each pod `seen=yes`. usage: webhook.py ADDRESS PORT CERTIFICATE KEY"""

import base64
import http.server
import json
import ssl
import sys

PATCH = base64.b64encode(json.dumps([{"op": "add", "path": "/metadata/labels/seen", "value": "yes"}]).encode()).decode()


class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response = {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch", "patch": PATCH}
        body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


address, port, certificate, key = sys.argv[1:5]
server = http.server.ThreadingHTTPServer((address, int(port)), Webhook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
