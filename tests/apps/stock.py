"""A gRPC server: the service that docs/use/grpc.md shows. It answers nobody who does not hold its credential."""

import json
import os
import sys
import threading
from concurrent import futures

import grpc

CREDENTIAL = os.environ["CREDENTIAL"]
# The page's own description, which the test has written there.
stock_pb2, stock_pb2_grpc = grpc.protos_and_services("stock.proto")
telling = threading.Lock()


def tell(**what):
    with telling:
        print(json.dumps(what), flush=True)


class Door(grpc.ServerInterceptor):
    def intercept_service(self, proceed, call):
        headers = {name: value if isinstance(value, str) else value.hex() for name, value in call.invocation_metadata}
        tell(path=call.method, headers=headers)
        if headers.get("authorization") == f"Bearer {CREDENTIAL}":
            return proceed(call)
        refuse = lambda _, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "this upstream answers the gate only")
        return grpc.unary_unary_rpc_method_handler(refuse)


class Stock(stock_pb2_grpc.StockServicer):
    def Get(self, item, context):
        if item.name == "unknown":
            context.set_trailing_metadata([("shop-hint", "ask later"), ("shop-detail-bin", b"\x00\xff"), ("wcp-decision-id", "forged")])
            context.abort(grpc.StatusCode.NOT_FOUND, "no such item: é")
        if item.name == "late":
            over = threading.Event()
            context.add_callback(over.set)
            left = context.time_remaining()
            over.wait(30)
            tell(ended=item.name, left=left)
        context.send_initial_metadata([("shop-version", "7"), ("wcp-receipt", "forged")])
        context.set_trailing_metadata([("shop-cost", "3")])
        return stock_pb2.Level(name=item.name, quantity=40, note=item.note)

    def Watch(self, item, context):
        if item.name == "endless":
            over = threading.Event()
            context.add_callback(over.set)
            yield stock_pb2.Level(name=item.name, quantity=1)
            over.wait(30)
            tell(ended=item.name)
            return
        if item.name == "broken":
            yield stock_pb2.Level(name=item.name, quantity=1)
            os._exit(1)
        pause = threading.Event()
        for less in range(3):
            yield stock_pb2.Level(name=item.name, quantity=40 - less)
            pause.wait(item.quantity / 1000 if item.name == "quiet" else 0)

    def Reserve(self, items, context):
        left = 40
        for item in items:
            left -= item.quantity
            yield stock_pb2.Level(name=item.name, quantity=left)

    def Audit(self, item, context):
        return stock_pb2.Level(name=item.name)


limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
server = grpc.server(futures.ThreadPoolExecutor(16), interceptors=[Door()], options=limits)
stock_pb2_grpc.add_StockServicer_to_server(Stock(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
tell(listening=f"127.0.0.1:{port}")
sys.stdin.read()
