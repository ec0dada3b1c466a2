"""Asks the YAML language server what an editor asks while a case file is written.

    editor.py NODE SERVER SCHEMA < questions.json > answers.json

A question is [text]: what is underlined, or [text, "hover"] or [text, "completion"] at the place of ‸ in the text.
Each text is a file whose first line names the schema, as docs/editors.md says.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

MARK = "‸"


class Server:
    def __init__(self, command, folder):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder)
        self.number = 0
        self.diagnostics = {}

    def send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def receive(self):
        length = None
        while (line := self.process.stdout.readline().strip()):
            name, value = line.split(b":", 1)
            if name.lower() == b"content-length":
                length = int(value)
        message = json.loads(self.process.stdout.read(length))
        if message.get("method") == "textDocument/publishDiagnostics":
            self.diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "method" in message and "id" in message:  # the server asks: an editor without settings answers
            items = message.get("params") or {}
            self.send({"id": message["id"], "result": [None] * len(items.get("items", []))})
        return message

    def tell(self, method, params):
        self.send({"method": method, "params": params})

    def ask(self, method, params):
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        while True:
            message = self.receive()
            if message.get("id") == self.number and "method" not in message:
                return message.get("result")

    def underlined(self, uri):
        while uri not in self.diagnostics:
            self.receive()
        return self.diagnostics.pop(uri)


def shown(documentation):
    return documentation.get("value", "") if isinstance(documentation, dict) else documentation or ""


def answer(server, uri, question):
    text, *what = question
    before = text.split(MARK)[0]
    place = {"line": before.count("\n"), "character": len(before.rpartition("\n")[2])}
    text = text.replace(MARK, "")
    document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
    server.tell("textDocument/didOpen", {"textDocument": document})
    at = {"textDocument": {"uri": uri}, "position": place}
    lines = text.split("\n")
    match what:
        case []:
            def underlined(said):
                begin, end = said["range"]["start"], said["range"]["end"]
                last = end["character"] if begin["line"] == end["line"] else None
                return [begin["line"] + 1, lines[begin["line"]][begin["character"]:last], said["message"]]

            return [underlined(said) for said in server.underlined(uri)]
        case ["hover"]:
            found = server.ask("textDocument/hover", at)
            return shown(found["contents"]) if found else None
        case ["completion"]:
            found = server.ask("textDocument/completion", at)
            items = found["items"] if isinstance(found, dict) else found
            return [[item["label"], shown(item.get("documentation"))] for item in items]


def main():
    node, program, schema = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="kconform-editor-") as folder:
        server = Server([node, program, "--stdio"], folder)
        try:
            capabilities = {"textDocument": {"completion": {"completionItem": {"documentationFormat": ["plaintext"]}},
                                             "hover": {"contentFormat": ["plaintext"]},
                                             "publishDiagnostics": {}}}
            root = pathlib.Path(folder).as_uri()
            server.ask("initialize", {"processId": None, "rootUri": root, "capabilities": capabilities})
            server.tell("initialized", {})
            answers = []
            for number, question in enumerate(json.load(sys.stdin)):
                question[0] = f"# yaml-language-server: $schema={pathlib.Path(schema).as_uri()}\n{question[0]}"
                answers.append(answer(server, f"{root}/{number}.yaml", question))
            json.dump(answers, sys.stdout)
        finally:
            server.process.kill()


main()
