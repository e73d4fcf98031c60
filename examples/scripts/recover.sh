#!/bin/sh
# Runs before the next attempt of a job that has failed. What has happened is in its environment:
# TORC_JOB_NAME, TORC_ATTEMPT_ID, TORC_RETURN_CODE and more (docs/handlers.md).
set -eu
place="$TORC_OUTPUT_DIR/recovery/wf${TORC_WORKFLOW_ID}_$TORC_JOB_NAME"
mkdir -p "$TORC_OUTPUT_DIR/recovery"
echo "$TORC_JOB_NAME, attempt $TORC_ATTEMPT_ID: exit code $TORC_RETURN_CODE"

case $TORC_RETURN_CODE in
10)
    scale=$(cat "$place.scale" 2>/dev/null || echo 1)
    echo "$scale" | awk '{ print $1 / 4 }' >"$place.scale"
    echo "step: $scale -> $(cat "$place.scale")"
    ;;
11)
    rm -rf "$place.scratch"
    echo "scratch is clean"
    ;;
esac
