# One job for each file of a folder, and one that adds up what they find: survey.sh FOLDER OUTPUT
set -eu
mkdir -p "$2"
{
    echo "state: {folder: $1}"
    echo "jobs:"
    names=""
    for file in "$1"/*.*; do
        name="count_$(basename "$file")"
        names="$names $name,"
        echo "  - name: $name"
        echo "    command: wc -w < '$file' > '$2/$name'"
    done
    echo "  - name: total"
    echo "    command: cat '$2'/count_* | awk '{sum += \$1} END {print sum}' > '$2/total'"
    echo "    depends_on: [$names]"
} | torc jobs spawn -
