"""A web site with one page, which tells what the page has seen."""

import json
import pathlib

from upstream import Upstream, serve, tell

PAGE = pathlib.Path(__file__).with_name("page.html").read_bytes()


class Site(Upstream):
    def holds_credential(self):
        return True

    def answer(self):
        if self.command == "POST":
            tell(seen=json.loads(self.body))
            return self.say(204)
        if self.path.split("?")[0] != "/":
            return self.say(404)
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)


serve(Site)
