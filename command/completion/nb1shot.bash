# Completion of nb1shot for bash 4 and later.

_nb1shot() {
    local line=${COMP_LINE:0:COMP_POINT} words candidate
    # The line anew: bash has split its words at "=" too.
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    local word=${words[-1]} prefix=""
    # What stands before "=" is a word of its own to bash, and stays.
    [[ $word == *=* && $COMP_WORDBREAKS == *=* ]] && prefix=${word%=*}=
    COMPREPLY=()
    local line doc
    while IFS= read -r line; do
        candidate=${line%%$'\t'*} doc=${line#*$'\t'}
        if [[ -n $candidate ]]; then
            COMPREPLY+=("${candidate#"$prefix"}")
        elif [[ $doc == files ]]; then
            while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "${word#"$prefix"}")
            type compopt &>/dev/null && compopt -o filenames 2>/dev/null
        fi
    done < <("${words[0]}" completion candidates -- "${words[@]:1}" 2>/dev/null)
    [[ ${COMPREPLY[0]} == *= ]] && type compopt &>/dev/null && compopt -o nospace 2>/dev/null
    return 0
}

complete -F _nb1shot nb1shot
