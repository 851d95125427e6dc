"""Calls the maintenance API through the published client of panels. Reads one JSON document from standard input: where
the node is, and calls as [method, argument…]. Prints one: for each what was answered, or the code and detail raised."""

import asyncio
import json
import sys

import PasarGuardNodeBridge as Bridge


async def main() -> None:
    task = json.load(sys.stdin)
    node = Bridge.create_node(
        connection=Bridge.NodeType.grpc,
        address=task["host"],
        port=task["port"],
        api_port=task["api_port"],
        server_ca=task["certificate"],
        api_key=task["key"],
    )
    answers = []
    for name, *arguments in task["calls"]:
        try:
            answer = await getattr(node, name)(*arguments)
            answers.append(answer if isinstance(answer, bool) else answer.json())
        except Bridge.NodeAPIError as error:
            answers.append({"code": int(error.code), "detail": str(error.detail)})
    print(json.dumps(answers))


asyncio.run(main())
