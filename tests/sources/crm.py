"""An OpenAPI document of a small CRM, in version 3.1 or 3.0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CUSTOMER: dict[str, Any] = {
    "type": "object",
    "required": ["id", "name", "secret"],
    "properties": {
        "id": {"type": "integer", "readOnly": True},
        "name": {"type": "string", "minLength": 1},
        "secret": {"type": "string", "writeOnly": True},
        "parent": {"$ref": "#/components/schemas/Customer"},
    },
    "additionalProperties": False,
}


def document(version: str = "3.1.0") -> dict[str, Any]:
    customer = {"application/json": {"schema": {"$ref": "#/components/schemas/Customer"}}}
    return {
        "openapi": version,
        "info": {"title": "CRM", "version": "1"},
        "servers": [{"url": "https://{host}/v1", "variables": {"host": {"default": "crm.test"}}}],
        "security": [{"token": []}],
        "paths": {
            "/customers/{id}": {
                "parameters": [{"$ref": "#/components/parameters/id"}],
                "get": {
                    "operationId": "getCustomer",
                    "summary": "Find a customer",
                    "description": "By its number.",
                    "parameters": [
                        {"name": "fields", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                        {"name": "filter", "in": "query", "style": "deepObject", "schema": {"type": "object"}},
                        {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                        {"name": "flat", "in": "query", "explode": False, "schema": {"type": "array"}},
                    ],
                    "responses": {"200": {"description": "", "content": customer}},
                },
                "delete": {"operationId": "deleteCustomer", "responses": {"204": {"description": ""}}},
            },
            "/customers": {
                "post": {
                    "operationId": "createCustomer",
                    "requestBody": {"required": True, "content": customer},
                    "responses": {"201": {"$ref": "#/components/responses/Made"}, "202": {"description": ""}},
                }
            },
        },
        "components": {
            "schemas": {"Customer": CUSTOMER},
            "parameters": {
                "id": {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}, "description": "No."}
            },
            "responses": {"Made": {"description": "", "content": customer}},
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}},
        },
    }


def written(folder: Path, value: Any) -> str:
    path = folder / "crm.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return str(path)
