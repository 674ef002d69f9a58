"""Asks two validators of JSON Schema whether they agree with Lyceum's reader.

    python tests/schema/validate.py target/release/lyceum

They must take every scenario of the catalogue, and must judge the documents of `documents.json` as the reader judges them
(`tests/system/schema` made them and holds the reader to these verdicts). Prints `N passed, N failed`; exit code 1 if
something failed.
"""

import json
import pathlib
import subprocess
import sys

try:
    import fastjsonschema
    import jsonschema

    try:
        import tomllib
    except ImportError:
        import tomli as tomllib
except ImportError as missing:
    print(f"skipped: {missing}; pip install -r tests/schema/requirements.txt")
    sys.exit(0)

HERE = pathlib.Path(__file__).resolve().parent
CATALOGUE = HERE.parent.parent / "scenarios" / "catalogue"


def validators(schema):
    """The name of each validator, and whether it takes a document."""
    jsonschema.Draft202012Validator.check_schema(schema)
    first = jsonschema.Draft202012Validator(schema)
    compiled = fastjsonschema.compile(schema, use_default=False)

    def second(document):
        try:
            compiled(document)
        except fastjsonschema.JsonSchemaValueException:
            return False
        return True

    return {"jsonschema": first.is_valid, "fastjsonschema": second}


def cases():
    """A name, a document, and whether it is to be taken."""
    for path in sorted(CATALOGUE.rglob("*.toml")):
        yield path.relative_to(CATALOGUE), tomllib.loads(path.read_text()), True
    for index, entry in enumerate(json.loads((HERE / "documents.json").read_text())):
        yield f"document {index}", entry["document"], entry["taken"]


def main(lyceum):
    schema = json.loads(subprocess.run([lyceum, "schema"], check=True, capture_output=True).stdout)
    passed = failed = 0
    for library, takes in validators(schema).items():
        for name, document, expected in cases():
            if takes(document) == expected:
                passed += 1
                continue
            failed += 1
            verb = "refuses" if expected else "takes"
            print(f"{library} {verb} {name}: {json.dumps(document)[:400]}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: validate.py LYCEUM")
    sys.exit(main(sys.argv[1]))
