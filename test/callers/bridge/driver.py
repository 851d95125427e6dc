"""Drives a node through the published client of panels. Reads calls from standard input, a line of JSON each, and answers
each with a line: {"ok": …}, or {"error": {"code", "detail"}} as the client raised it."""

import asyncio
import json
import sys

import PasarGuardNodeBridge as Bridge
from PasarGuardNodeBridge.common import service_pb2 as pb


async def main() -> None:
    task = json.loads(sys.stdin.readline())
    with open(task["certificate"], encoding="ascii") as file:
        certificate = file.read()

    def connect():
        return Bridge.create_node(
            connection=Bridge.NodeType(task["mode"]),
            address=task["host"],
            port=task["port"],
            api_port=task["port"],
            server_ca=certificate,
            api_key=task["key"],
        )

    calls = Calls(connect)
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, arguments = json.loads(line)
        try:
            answer = {"ok": await getattr(calls, name)(**arguments)}
        except Bridge.NodeAPIError as error:
            answer = {"error": {"code": int(error.code), "detail": str(error.detail)}}
        print(json.dumps(answer), flush=True)


class Calls:
    def __init__(self, connect) -> None:
        self.connect = connect
        self.node = connect()

    async def start(self, config: str, users: list[dict]) -> dict:
        return told(await self.node.start(config, pb.BackendType.XRAY, [user(each) for each in users], keep_alive=0))

    async def start_twice(self, config: str) -> list:
        """Starts it through two objects at once: whether it was started, or the code that was raised."""
        starts = [each.start(config, pb.BackendType.XRAY, [], keep_alive=0) for each in (self.node, self.connect())]
        ends = await asyncio.gather(*starts, return_exceptions=True)
        return [int(end.code) if isinstance(end, Bridge.NodeAPIError) else end.started for end in ends]

    async def info(self) -> dict:
        return told(await self.node.info())

    async def health(self) -> str:
        return (await self.node.get_health()).name

    async def update_users(self, users: list[dict]) -> None:
        """Queues them. The client's own worker sends them, later."""
        await self.node.update_users([user(each) for each in users])

    async def queue(self) -> dict:
        """How its deliveries fare: the users that it holds back as rejected, and how often in a row it has failed."""
        held = sorted(email for email, retry in self.node._sync_retries.items() if retry.attempts > 0)
        return {"held": held, "failures": self.node._user_sync_failure_count, "reset": self.node.requires_hard_reset()}

    async def sync_users(self, users: list[dict]) -> None:
        await self.node.sync_users([user(each) for each in users])

    async def sync_users_chunked(self, users: list[dict], chunk_size: int) -> list[str]:
        """Returns the e-mails that the client takes for not applied."""
        failed = await self.node.sync_users_chunked([user(each) for each in users], chunk_size=chunk_size)
        return [each.email for each in failed]

    async def stats(self, type: str, name: str = "", reset: bool = False) -> list[dict]:
        answer = await self.node.get_stats(pb.StatType.Value(type), reset=reset, name=name)
        return [told(each) for each in answer.stats]

    async def backend_stats(self) -> dict:
        return told(await self.node.get_backend_stats())

    async def system_stats(self) -> dict:
        return told(await self.node.get_system_stats())

    async def online(self, email: str) -> list:
        """The number of addresses, and the addresses."""
        count = await self.node.get_user_online_stats(email)
        addresses = await self.node.get_user_online_ip_list(email)
        return [count.value, sorted(addresses.ips)]

    async def latency(self) -> list[dict]:
        return [told(each) for each in (await self.node.get_outbounds_latency()).latencies]

    async def rules(self) -> list[str]:
        return [each.rule_tag for each in (await self.node.list_routing_rules()).rules]

    async def balancer(self, tag: str) -> dict:
        answer = await self.node.get_balancer_info(tag)
        return {"override": answer.override_target, "chooses": list(answer.principle_target)}

    async def route(self, domain: str) -> str:
        return (await self.node.test_route(network="tcp", target_domain=domain, target_port=443)).outbound_tag

    async def add_rule(self, rule: str, should_reset: bool = False) -> None:
        await self.node.add_routing_rule(rule, should_reset=should_reset)

    async def remove_rule(self, tag: str) -> None:
        await self.node.remove_routing_rule(tag)

    async def override_balancer(self, tag: str, target: str) -> None:
        await self.node.override_balancer_target(tag, target)

    async def log_lines(self, count: int) -> list[str]:
        lines = []
        async with self.node.stream_logs() as queue:
            while len(lines) < count:
                item = await asyncio.wait_for(queue.get(), timeout=10)
                if isinstance(item, Exception):
                    raise item
                lines.append(item)
        return lines

    async def stop(self) -> None:
        await self.node.stop()


def user(fields: dict):
    proxies = Bridge.create_proxy(
        vmess_id=fields["id"],
        vless_id=fields["id"],
        trojan_password=fields["id"],
        shadowsocks_password=fields["id"],
        shadowsocks_method="aes-128-gcm",
    )
    return Bridge.create_user(email=fields["email"], proxies=proxies, inbounds=fields["inbounds"])


def told(message) -> dict:
    return {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}


asyncio.run(main())
