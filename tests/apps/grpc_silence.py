"""An upstream that is silent for longer than the gate waits: before its answer, and in the midst of a stream."""

import os

import grpc

stock_pb2, stock_pb2_grpc = grpc.protos_and_services("stock.proto")
stock = stock_pb2_grpc.StockStub(grpc.insecure_channel(os.environ["H2C"]))
try:
    stock.Get(stock_pb2.Item(name="late"), timeout=60)
    raise SystemExit("a silent upstream was waited for")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert error.details().startswith("UPSTREAM_TIMEOUT: "), error

quiet = stock.Watch(stock_pb2.Item(name="quiet", quantity=4000), timeout=60)
assert next(quiet).quantity == 40
try:
    next(quiet)
    raise SystemExit("a silent upstream was waited for in a stream")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert error.details().startswith("UPSTREAM_TIMEOUT: "), error
print("all seen")
