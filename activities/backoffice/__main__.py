"""`python -m activities.backoffice`: create the back office's schema and fill it. Safe to run again; `--reset` deletes everything first."""

import argparse
import asyncio
import sys

from activities.backoffice.connections import BackOfficeNotConfigured, database_url


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m activities.backoffice", description=__doc__)
    parser.add_argument("--reset", action="store_true", help="first drop the schema `backoffice` with all its data")
    arguments = parser.parse_args()

    import asyncpg

    from activities.backoffice.seed import prepare

    try:
        seeded = asyncio.run(prepare(database_url(), reset=arguments.reset))
    except BackOfficeNotConfigured as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        sys.stderr.write(f"The back office could not be prepared: {type(error).__name__}: {error}\n")
        return 1
    sys.stdout.write(f"{seeded.summary()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
