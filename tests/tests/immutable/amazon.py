"""Amazon's services that give credentials (STS, and the portal of SSO), behind a proxy of HTTPS.

Arguments: file of the certificate, file of its key, access key and secret that it gives. Prints its port, then a
line for each request: host, method, path, and the operation in the body.
"""

import datetime
import json
import socketserver
import ssl
import sys
import threading

CERTIFICATE, KEY, ACCESS_KEY, SECRET = sys.argv[1:]
END = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)

ASSUMED = f"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>{ACCESS_KEY}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>
<SessionToken>of-a-role</SessionToken><Expiration>{END:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>
</AssumeRoleResult></AssumeRoleResponse>"""
LOGGED_IN = json.dumps({"roleCredentials": {
    "accessKeyId": ACCESS_KEY, "secretAccessKey": SECRET, "sessionToken": "of-sso",
    "expiration": int(END.timestamp() * 1000)}})


class Proxy(socketserver.StreamRequestHandler):
    def handle(self):
        host = self.rfile.readline().split()[1].decode().split(":")[0]
        while self.rfile.readline().strip():
            pass
        self.connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE, KEY)
        with context.wrap_socket(self.connection, server_side=True) as stream:
            self.answer(host, stream)

    def answer(self, host, stream):
        lines = stream.makefile("rb")
        method, path, _ = lines.readline().decode().split()
        headers = {}
        while line := lines.readline().decode().strip():
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        body = lines.read(int(headers.get("content-length", 0))).decode()
        operation = next((part for part in body.split("&") if part.startswith("Action=")), "-")
        print(host, method, path, operation, headers.get("x-amz-sso_bearer_token", "-"), flush=True)
        text = LOGGED_IN if host.startswith("portal.sso.") else ASSUMED
        kind = "application/json" if text is LOGGED_IN else "text/xml"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        stream.sendall((head + text).encode())


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


with Server(("127.0.0.1", 0), Proxy) as server:
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
