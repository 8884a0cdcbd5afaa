"""A guest book: one table, one page, a health check."""

import html
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import psycopg2

TITLE = html.escape(os.environ.get("TITLE", "Guest book"))
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<h1>{title}</h1><form method="post"><input name="text" required maxlength="200"><button>Sign</button></form>
<ul>{entries}</ul></html>"""


def database():
    """A new connection; the table is made on first use."""
    connection = psycopg2.connect(
        host="127.0.0.1", dbname="guestbook", user="guestbook", password=os.environ["DB_PASSWORD"], connect_timeout=3
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("create table if not exists entry (id serial primary key, text text not null)")
    return connection


class Handler(BaseHTTPRequestHandler):
    """GET / lists, POST / adds, GET /health asks the database."""

    def answer(self, code, body, kind="text/html; charset=utf-8", headers=()):
        """Send one response."""
        data = body.encode()
        self.send_response(code)
        for key, value in (("Content-Type", kind), ("Content-Length", str(len(data))), *headers):
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        """The page, or the health check."""
        connection = database()
        with connection, connection.cursor() as cursor:
            if self.path == "/health":
                cursor.execute("select count(*) from entry")
                self.answer(200, f'{{"entries": {cursor.fetchone()[0]}}}', "application/json")
                return
            cursor.execute("select text from entry order by id desc limit 100")
            entries = "".join(f"<li>{html.escape(text)}</li>" for (text,) in cursor.fetchall())
        connection.close()
        self.answer(200, PAGE.format(title=TITLE, entries=entries))

    def do_POST(self):
        """A new entry."""
        size = min(int(self.headers.get("Content-Length", 0)), 2000)
        text = parse_qs(self.rfile.read(size).decode()).get("text", [""])[0][:200]
        if text.strip():
            connection = database()
            with connection, connection.cursor() as cursor:
                cursor.execute("insert into entry (text) values (%s)", (text,))
            connection.close()
        self.answer(303, "", headers=(("Location", "/"),))


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
