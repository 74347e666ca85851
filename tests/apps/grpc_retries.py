"""A gRPC client with a retry policy of its own tries again when the gate says, and not when the policy's short pauses are over.

The gate lets one call in two seconds through.
"""

import json
import os

import grpc

stock_pb2, stock_pb2_grpc = grpc.protos_and_services("stock.proto")
policy = {
    "maxAttempts": 2,
    "initialBackoff": "0.001s",
    "maxBackoff": "0.001s",
    "backoffMultiplier": 1,
    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
}
config = json.dumps({"methodConfig": [{"name": [{"service": "shop.v1.Stock"}], "retryPolicy": policy}]})
stock = stock_pb2_grpc.StockStub(grpc.insecure_channel(os.environ["H2C"], [("grpc.service_config", config)]))
for _ in range(3):
    assert stock.Get(stock_pb2.Item(name="bolt M8"), timeout=60).quantity == 40
print("all seen")
