#!/bin/sh
# Render the page $1 to $2, again and again; end with 1 when it has a variable that is not known.
echo "rendering $1"
while :; do
    text=$(sed "s/@GREETING@/$GREETING/g" "$1")
    case $text in
    *@[A-Z]*@*)
        echo "$1 has a variable that is not known" >&2
        exit 1
        ;;
    esac
    printf '%s\n' "$text" >"$2.new"
    mv "$2.new" "$2"
    sleep 0.2
done
