#compdef nb1shot
# Completion of nb1shot for zsh.

_nb1shot() {
    local line word doc
    integer files=0
    local -a plain open plain_docs open_docs
    for line in "${(@f)$("${words[1]}" completion candidates -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        [[ -n $line ]] || continue
        if [[ $line == $'\tfiles' ]]; then
            files=1
            continue
        fi
        word=${line%%$'\t'*} doc=${line#*$'\t'}
        if [[ $word == *= ]]; then
            open+=("$word") open_docs+=("$word${doc:+  -- $doc}")
        else
            plain+=("$word") plain_docs+=("$word${doc:+  -- $doc}")
        fi
    done
    (( ${#plain} )) && compadd -l -d plain_docs -a plain
    (( ${#open} )) && compadd -S '' -l -d open_docs -a open
    if (( files )); then
        compset -P '-*=' # the option before the name of the file
        _files
    fi
    return 0
}

if [[ ${funcstack[1]} == _nb1shot ]]; then
    _nb1shot "$@"
else
    compdef _nb1shot nb1shot
fi
