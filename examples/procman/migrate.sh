#!/bin/sh
# Write what the others wait for.
set -e
mkdir -p data
echo "migrating"
sleep "${MIGRATION_TIME:-0.2}"
echo '{"database": {"url": "http://127.0.0.1:'"$DB_PORT"'/"}}' >data/config.json
echo "SCHEMA=7" >>"$VAGGA_OUTPUT"
echo "migrated"
