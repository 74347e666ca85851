"""gRPC through the gate as gRPC is used: metadata both ways, statuses and trailers, deadlines, cancelled and silent streams, large
messages, many calls on one connection, and every no in a form that a client understands."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc import StatusCode

stock_pb2, stock_pb2_grpc = grpc.protos_and_services("stock.proto")
limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
if "CA" in os.environ:
    with open(os.environ["CA"], "rb") as authorities:
        credentials = grpc.ssl_channel_credentials(authorities.read())
    name = [("grpc.ssl_target_name_override", os.environ["SERVER_NAME"])]
    channel = grpc.secure_channel(os.environ["GATE"], credentials, options=limits + name)
else:
    channel = grpc.insecure_channel(os.environ["H2C"], options=limits)
stock = stock_pb2_grpc.StockStub(channel)
PATIENCE = 60


def item(name, quantity=0, note=b""):
    return stock_pb2.Item(name=name, quantity=quantity, note=note)


def refused(call, code):
    """The call's error, which must have this code."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, (error.code(), error.details())
        return error
    raise SystemExit(f"a call was answered that should have been {code}")


# Metadata, both ways. What the upstream forges is not believed.
level, call = stock.Get.with_call(item("bolt"), timeout=PATIENCE, metadata=[("x-note", "1"), ("x-trace-bin", b"\x00\xff")])
first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
assert level.quantity == 40 and first["shop-version"] == "7" and last["shop-cost"] == "3", (first, last)
assert len(first["wcp-decision-id"]) == 36 and len(first["wcp-receipt"]) == 64, first

# A status with details and trailers of the upstream's.
unknown = refused(lambda: stock.Get(item("unknown"), timeout=PATIENCE), StatusCode.NOT_FOUND)
trailers = dict(unknown.trailing_metadata())
assert unknown.details() == "no such item: é", unknown.details()
assert trailers["shop-hint"] == "ask later" and trailers["shop-detail-bin"] == b"\x00\xff", trailers
# Its head and its trailers are one, and so the gate's own id stands there.
assert trailers.get("wcp-decision-id") != "forged", trailers

# Both directions at once: each answer is there before the next question is asked.
asked, answered = threading.Semaphore(1), []


def questions():
    for quantity in (1, 2, 3):
        assert asked.acquire(timeout=PATIENCE)
        yield item("bolt", quantity)


for level in stock.Reserve(questions(), timeout=PATIENCE):
    answered.append(level.quantity)
    asked.release()
assert answered == [39, 37, 34], answered



# A caller may keep its side open and be silent for longer than the gate waits for one that has not begun.
def hesitant():
    yield item("bolt", 1)
    time.sleep(2)
    yield item("bolt", 2)


assert [level.quantity for level in stock.Reserve(hesitant(), timeout=PATIENCE)] == [39, 37]

# Large messages, and many at once on one connection.
large = os.urandom(20 << 20)
assert stock.Get(item("bolt", note=large), timeout=PATIENCE).note == large
with ThreadPoolExecutor(8) as pool:
    notes = [os.urandom(100_000) for _ in range(40)]
    assert list(pool.map(lambda note: stock.Get(item("bolt", note=note), timeout=PATIENCE).note, notes)) == notes

# A deadline is known upstream and ends the call there, and so does a caller that leaves: the test sees the upstream say so.
refused(lambda: stock.Get(item("late"), timeout=1), StatusCode.DEADLINE_EXCEEDED)
endless = stock.Watch(item("endless"), timeout=PATIENCE)
assert next(endless).quantity == 1
endless.cancel()

# A stream that is silent for longer than the gate waits for a caller that sends; this caller has nothing more to send.
began = time.monotonic()
assert [level.quantity for level in stock.Watch(item("quiet", 1500), timeout=PATIENCE)] == [40, 39, 38]
assert time.monotonic() - began > 2

# Every no.
id_of = lambda error: dict(error.trailing_metadata())["wcp-decision-id"]
denied = refused(lambda: stock.Audit(item("bolt"), timeout=PATIENCE), StatusCode.PERMISSION_DENIED)
assert denied.details().startswith("DENY_REQUIRES_HUMAN_APPROVAL: ") and id_of(denied) in denied.details(), denied.details()
denied = refused(lambda: list(stock.Watch(item("bolt"), timeout=PATIENCE, metadata=[("wcp-data-label", "RESTRICTED")])), StatusCode.PERMISSION_DENIED)
assert len(id_of(denied)) == 36
many = (item("bolt", note=bytes(100_000)) for _ in range(50))
restricted = [("wcp-data-label", "RESTRICTED")]
refused(lambda: list(stock.Reserve(many, timeout=PATIENCE, metadata=restricted)), StatusCode.PERMISSION_DENIED)
refused(lambda: stock.Get(item("bolt"), timeout=PATIENCE, metadata=[("wcp-data-label", "secret!")]), StatusCode.INVALID_ARGUMENT)
nowhere = channel.unary_unary("/shop.v1.Stock/Delete", stock_pb2.Item.SerializeToString, stock_pb2.Level.FromString)
assert "DENY_NO_ROUTE" in refused(lambda: nowhere(item("bolt"), timeout=PATIENCE), StatusCode.UNIMPLEMENTED).details()
probe = refused(lambda: stock.Get(item("bolt"), timeout=PATIENCE, metadata=[("wcp-dry-run", "true")]), StatusCode.FAILED_PRECONDITION)
assert dict(probe.trailing_metadata())["wcp-code"] == "DRY_RUN", probe.details()

# The connection is as good as before.
assert stock.Get(item("bolt"), timeout=PATIENCE).quantity == 40

# An upstream that dies in a stream is seen to, and then there is none.
broken = stock.Watch(item("broken"), timeout=PATIENCE)
assert next(broken).quantity == 1
try:
    next(broken)
    raise SystemExit("a stream that broke off ended well")
except StopIteration:
    raise SystemExit("a stream that broke off ended well")
except grpc.RpcError as error:
    # Not CANCELLED, which a client takes for its own doing.
    assert error.code() == StatusCode.UNAVAILABLE and error.details().startswith("UPSTREAM_UNREACHABLE: "), error
gone = refused(lambda: stock.Get(item("bolt"), timeout=PATIENCE), StatusCode.UNAVAILABLE)
assert gone.details().startswith("UPSTREAM_UNREACHABLE"), gone.details()
print("all seen")
