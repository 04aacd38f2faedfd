rule anat:
    input:
        JOBS.waits_for("anat"),
    output:
        f"ledger/states/anat/{SESSION}.json",
    log:
        f"logs/anat/{SESSION}.log",
    benchmark:
        f"benchmarks/anat/{SESSION}.tsv"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        key=JOBS.key_of("anat"),
    group:
        "session_{subject}_{session}"
    script:
        "../scripts/anat.py"
