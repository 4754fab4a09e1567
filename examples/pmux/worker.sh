#!/bin/sh
# Fail until it was tried ATTEMPTS times; then end with 3, which says that nothing is left to do.
mkdir -p data
echo tried >>data/attempts
tried=$(wc -l <data/attempts)
if [ "$tried" -lt "$ATTEMPTS" ]; then
    echo "attempt $tried of $ATTEMPTS: crashing"
    exit 1
fi
rm data/attempts
echo "attempt $tried of $ATTEMPTS: nothing is left to do"
exit 3
