"""Tables over HTTP as PostgREST serves them: filters in the query, `Prefer`, `Content-Range`, single objects, functions under
`/rpc/`. Real rows, in SQLite."""

import json
import re
import sqlite3
import threading
from urllib.parse import parse_qsl, unquote, urlsplit

from upstream import Upstream, serve

rows = sqlite3.connect(":memory:", check_same_thread=False)
rows.row_factory = sqlite3.Row
rows.executescript(
    """
    create table orders (id integer primary key, item text not null, quantity integer not null, state text not null default 'open');
    insert into orders (item, quantity, state) values ('bolt M8', 40, 'open'), ('nut M8', 40, 'open'), ('washer', 100, 'shipped');
    """
)
one_at_a_time = threading.Lock()

OPERATORS = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "like", "is": "is"}
NO_FILTERS = {"select", "order", "limit", "offset", "on_conflict", "columns"}


def name(text):
    """A name of the schema; nothing else gets into SQL as it is."""
    if not re.fullmatch(r"[a-z_]+", text):
        raise ValueError(text)
    return text


def where(query):
    clauses, values = [], []
    for column, condition in query:
        if column in NO_FILTERS:
            continue
        operator, value = condition.split(".", 1)
        if operator == "in":
            among = value.strip("()").split(",")
            clauses.append(f"{name(column)} in ({','.join('?' * len(among))})")
            values += [each.strip('"') for each in among]
        else:
            clauses.append(f"{name(column)} {OPERATORS[operator]} ?")
            values.append(value.replace("*", "%") if operator == "like" else value)
    return (" where " + " and ".join(clauses) if clauses else ""), values


class Tables(Upstream):
    def answer(self):
        target = urlsplit(self.path)
        self.query = parse_qsl(target.query)
        self.prefer = (self.headers.get("prefer") or "").replace(" ", "").split(",")
        segments = [unquote(segment) for segment in target.path.strip("/").split("/")]
        with one_at_a_time:
            try:
                if segments[0] == "rpc":
                    return self.call(segments[1])
                return getattr(self, self.command.lower())(name(segments[0]))
            except (sqlite3.Error, ValueError, KeyError) as error:
                rows.rollback()
                return self.say(400, {"code": "PGRST100", "message": str(error), "details": None, "hint": None})

    def option(self, wanted):
        return next((value for key, value in self.query if key == wanted), None)

    def found(self, table, returning=None):
        """Rows as JSON, one object where the client accepts only that."""
        clause, values = where(self.query)
        columns = self.option("select") or "*"
        columns = columns if columns == "*" else ",".join(map(name, columns.split(",")))
        if returning is None:
            order = self.option("order")
            order = f" order by {name(order.split('.')[0])} {'desc' if order.endswith('.desc') else 'asc'}" if order else ""
            limit, offset = self.option("limit"), self.option("offset")
            page = f" limit {int(limit or -1)} offset {int(offset or 0)}"
            found = [dict(row) for row in rows.execute(f"select {columns} from {table}{clause}{order}{page}", values)]
        else:
            found = returning
        total = rows.execute(f"select count(*) from {table}{clause}", values).fetchone()[0] if "count=exact" in self.prefer else "*"
        headers = [("content-range", f"0-{len(found) - 1}/{total}" if found else f"*/{total}")]
        if "vnd.pgrst.object" in (self.headers.get("accept") or ""):
            if len(found) != 1:
                message = "Cannot coerce the result to a single JSON object"
                return self.say(406, {"code": "PGRST116", "message": message, "details": f"{len(found)} rows", "hint": None})
            return self.say(200, found[0], headers)
        return self.say(200 if returning is None or self.command != "POST" else 201, found, headers)

    def get(self, table):
        return self.found(table)

    head = get

    def written(self, table, changed):
        rows.commit()
        if "return=representation" in self.prefer:
            return self.found(table, changed)
        return self.say(201 if self.command == "POST" else 204)

    def post(self, table):
        asked = json.loads(self.body)
        changed = []
        for row in asked if isinstance(asked, list) else [asked]:
            columns = [name(column) for column in row]
            clash = ""
            if "resolution=merge-duplicates" in self.prefer:
                key = name(self.option("on_conflict") or "id")
                clash = f" on conflict ({key}) do update set " + ",".join(f"{each}=excluded.{each}" for each in columns)
            statement = f"insert into {table} ({','.join(columns)}) values ({','.join('?' * len(columns))}){clash} returning *"
            changed += [dict(each) for each in rows.execute(statement, list(row.values()))]
        return self.written(table, changed)

    def patch(self, table):
        row = json.loads(self.body)
        clause, values = where(self.query)
        statement = f"update {table} set {','.join(f'{name(column)}=?' for column in row)}{clause} returning *"
        return self.written(table, [dict(each) for each in rows.execute(statement, [*row.values(), *values])])

    def delete(self, table):
        clause, values = where(self.query)
        return self.written(table, [dict(each) for each in rows.execute(f"delete from {table}{clause} returning *", values)])

    def call(self, function):
        if function != "open_quantity":
            return self.say(404, {"code": "PGRST202", "message": f"no function {function}", "details": None, "hint": None})
        arguments = json.loads(self.body) if self.command == "POST" else dict(self.query)
        found = rows.execute(
            "select coalesce(sum(quantity), 0) from orders where state = 'open' and item like ?", [arguments["pattern"]]
        )
        return self.say(200, found.fetchone()[0])


serve(Tables)
