"""A caller in Python: grpcio and code generated from the contract. It reads its task from standard input, drives the
node, and writes what it saw to standard output, both as JSON."""

import json
import sys
import urllib.request

import grpc
from service import node_pb2 as pb
from service.node_pb2_grpc import NodeServiceStub

TIMEOUT = 60


def main() -> None:
    task = json.load(sys.stdin)
    with open(task["certificate"], "rb") as file:
        trust = grpc.ssl_channel_credentials(file.read())
    with grpc.secure_channel(task["address"], trust) as channel:
        json.dump(drive(NodeServiceStub(channel), task), sys.stdout)


def drive(node: NodeServiceStub, task: dict) -> dict:
    result = {"wrongKey": code(node.GetBaseInfo, pb.Empty(), "00000000-0000-4000-8000-000000000000")}
    key = task["key"]
    inbound = task["inbound"]
    info = node.Start(
        pb.Backend(type=pb.XRAY, config=task["config"], users=[user("1", inbound)]),
        metadata=with_key(key),
        timeout=TIMEOUT,
    )
    result |= {"started": info.started, "coreVersion": info.core_version}

    asked = pb.StatRequest(type=pb.UserStat, name="5")
    result["before"] = code(node.GetStats, asked, key)
    chunks = [
        pb.UsersChunk(index=0, users=[user("2", inbound), user("3", inbound)]),
        pb.UsersChunk(index=1, users=[user("4", inbound), user("5", inbound)], last=True),
    ]
    node.SyncUsersChunked(iter(chunks), metadata=with_key(key), timeout=TIMEOUT)
    result["after"] = code(node.GetStats, asked, key)

    result["fetched"] = fetch(task["proxy"], task["target"])
    stats = node.GetStats(pb.StatRequest(type=pb.Inbound, name="proxy-in"), metadata=with_key(key), timeout=TIMEOUT)
    result["traffic"] = {stat.type: stat.value for stat in stats.stats}
    return result


def with_key(key: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key}")]


def user(email: str, inbound: str) -> pb.User:
    vless = pb.Vless(id=f"00000000-0000-4000-8000-{email:0>12}")
    return pb.User(email=email, inbounds=[inbound], proxies=pb.Proxy(vless=vless))


def code(call, request, key: str) -> str:
    try:
        call(request, metadata=with_key(key), timeout=TIMEOUT)
        return "OK"
    except grpc.RpcError as error:
        # NOT_FOUND, as other languages spell it: NotFound.
        return error.code().name.title().replace("_", "")


def fetch(proxy: str, target: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy}))
    with opener.open(target, timeout=TIMEOUT) as answer:
        return answer.read().decode()


main()
