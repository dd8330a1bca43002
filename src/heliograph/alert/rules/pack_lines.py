"""Built-in rules over what a training job prints: memory, collectives, losses, checkpoints, ECC.

`training.findings` reads the same of a line, and more exactly; tests/alert/test_rule_pack_lines.py
holds both together. A pattern here is wide, and has no `^` or `$`, so that many lines may be searched
at once (see `rules.patterns`); its `exclude` turns away what only speaks of it: advice, code,
settings, and counts of none.
"""

from heliograph.alert.rules.writing import Document, log

_OUT_OF_MEMORY = (
    r"\b(?i:(?:CUDA|HIP|XPU|NPU|MPS|MUSA|HPU)(?: (?:driver |runtime )?error:| backend)?"
    r" out of memory)\b|\b(?:OutOf|_?Array)?MemoryError\b"
    r"|\b(?:CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation|hipErrorOutOfMemory)\b"
    r"|\b(?:(?:CUBLAS|CUDNN|HIPBLAS)_STATUS_ALLOC_FAILED|ROCBLAS_STATUS_MEMORY_ERROR)\b"
    r"|\b(?i:cuda|hip) failure (?:\d+ |\d+: )?'?out of memory\b"
    r"|\bcudaMalloc(?:Async)? failed: out of memory|\bcuda runtime error \(2\) ?: out of memory"
    r"|\b(?:RESOURCE_EXHAUSTED|Resource exhausted|ResourceExhaustedError)\b.*"
    r"(?:\b[Oo]ut of memory|\b[Aa]ttempting to (?:reserve|allocate)|\bOOM\b|\b[Ff]ailed to allocate)"
    r"|\bOOM when allocating tensor|\bran out of memory trying to allocate"
    r"|DefaultCPUAllocator: (?:can't|not enough) |\bstd::bad_alloc\b"
    r"|\[Errno 12\] Cannot allocate memory|\bOut of memory error on GPU \d"
    r"|\b[Oo]ut of memory(?: \(\w+\))?: Kill(?:ed)? process|\bMemory cgroup out of memory"
    r"|\boom-kill:constraint=|\binvoked oom-killer:|\bSystem OOM encountered, victim process: "
    r"|\bDetected [1-9]\d* oom[-_ ]kill event(?:\(s\)|s)? in "
    r"|\berror: \S+: tasks? [\d,-]+: Out Of Memory\b"
    r"|\bslurmstepd: error: (?:Exceeded (?:job|step)|(?:Job|Step) \d\S* exceeded) memory limit\b"
    r"|\bMemory on the node \(.*exceeds the memory usage threshold"
    r"|\bkilled due to the node running low on memory"
    r"|\b[1-9]\d* Workers \(tasks / actors\) killed due to memory pressure \(OOM\)"
    r"|\b[Rr]eason['\"]?\s*[:=]\s*['\"]?OOMKilled\b|\b(?:was|been|got) OOMKilled\b"
    r"|\bOOMKilled['\"]?(?:: |=)"
)
# Advice speaks of what may happen; PyTorch's own error gives advice after it happened.
_NOT_OUT_OF_MEMORY = (
    r"(?i)\b(?:avoid|prevent|reduce)(?:s|ing)?\b[^:]*(?:out of memory|MemoryError)"
    r"|\b(?:avoid|prevent)(?:s|ing)?(?: \w+){0,2} [\w.]+Error: (?:\w+ )?out of memory"
    r"|\b(?:if you|in case of|might|may cause|could cause|help with|except|catch(?:es|ing)?|import)\b"
    r"[^:]*(?:out of memory|MemoryError)"
    r"|MemoryError (?:and|or|counts?|handl\w+|retr\w+|recovery|tests?|checks?)\b"
    r"|MemoryError (?:is|are|will be) (?:caught|handled|ignored|retried|skipped)\b"
    r"|\bon (?:an? |any )?(?:\w+\.)*\w*MemoryError,? "
    r"(?:the|it|we|will|fall|halve|reduce|restart|retry|skip)\b"
    r"|# [^:]*out of memory|\bno (?:\w+ )?(?:out of memory|\w*MemoryError)"
    r"|(?:out of memory|MemoryError)(?: (?:errors?|events?|counts?|kills?|retries|exceptions?))+"
    r"['\"]?\s*[:=]\s*0\b|\bOOMKilled['\"]?(?:: |=)(?:['\"]?(?:false|no|none|null|0)\b|\{)"
)
_NCCL = (
    r"\b[NRH]CCL (?:[Ee]rror|failure|exception)\b|\b[NR]CCL WARN\b"
    r"|\bnccl(?:Unhandled(?:Cuda|Hip)|System|Internal|Remote)Error\b|\bncclInvalid(?:Usage|Argument): "
    r"|\bunhandled (?:cuda|hip|system) error(?: \(run with NCCL_DEBUG|, [NR]CCL version)"
    r"|\b[NR]CCL communicator was aborted|\bis setting up NCCL communicator\b.*\bgot error:"
    r"|\bSome [NH]CCL operations have failed or timed out|\btaking the entire process down\b"
    r"|[Ww]atchdog caught collective operation timeout"
    r"|\bdetected by watchdog at work(?: sequence id\b|: )"
    r"|watchdog got stuck for \d+ seconds|detected no heartbeat of its watchdog"
    r"|Timeout at (?:NCCL|collective) work|\bHeartbeat monitor timed out!|timed out in blocking wait"
    r"|dump signal (?:due to a collective timeout|from another (?:local )?rank)"
    r"|due to (?:ProcessGroup\w+ watchdog hang|collective timeout or exception)"
    r"|(?:failed to pass|[Tt]imed out in) monitoredBarrier|monitoredBarrier, but received errors"
    r"|\bTimed out initializing process group in store based barrier on rank"
    r"|\bTimed out after \d+ seconds waiting for clients\."
    r"|\bThe client socket has timed out after \d"
    r"|\bTimed out waiting \d+ms for (?:recv|send) operation to complete"
    r"|\bgloo/\S+\.(?:cc|h):\d+\] .*(?:[Tt]imed out waiting|Timeout|\b(?:closed|reset) by peer\b)"
    r"|\bGloo connectFullMesh failed with\b.*\b(?:timed out|refused|reset by|unreachable)\b"
    r"|\b(?:call hccl api|[Hh]ccl\w* api) failed\b|\bfunction error: Hccl\w+, error code is \d"
    r"|\bEI\d\d\d\d: "
)
# It warns of settings too.
_NOT_NCCL = (
    r"\b[NR]CCL WARN (?:NUMA auto balancing|Missing |\S+ set (?:to \S+ )?by environment)"
    r"|\b[NRH]CCL (?:[Ee]rror|failure|exception|WARN) counts?\s*[:=]\s*0\b"
    r"|\b[NRH]CCL (?:[Ee]rror|failure|exception) (?:handl(?:ing|ers?)|check|detection|recovery|retr)"
    # What it will do if there is one.
    r"|\b(?i:will|would|enabled?|disabled?|configured)\b[^:]*"
    r"\b(?:on|if|after) (?:an? |any )?[NRH]CCL (?:[Ee]rror|failure|exception)\b[^:]*$"
)
_VALUE = r"(?:['\"]?\s*[:=]\s*['\"]?|\s+\(?)(?:tensor\()?\[?[-+]?"
# What stands before the name of a step's loss, as far as it is the same word.
_OF_STEP = (
    r"\b(?:(?:lm|total|train(?:ing)?|reduced_train|gpt|step|avg|average|mean|policy|value|actor|critic|"
    r"pg|kl|load_balancing|aux|auxiliary|moe_lb|mtp_\d+|val(?:idation)?|eval|test)_)?"
)
# Any name of a loss: `loss/train/total: nan`, `train_loss_step=nan`.
_LOSS = r"loss\w*(?:[/.-]\w+)*"
_NAN = (
    # By its value. A gradient's norm may overflow now and then, and its step is skipped.
    rf"(?i){_LOSS}{_VALUE}nan\b|loss is:?\s+(?:tensor\(\[?)?[-+]?nan\b"
    rf"|{_OF_STEP}{_LOSS}{_VALUE}inf(?:inity)?\b"
    r"|loss\w*\", \"value\": [-+]?nan\b|\bBad grad_norm detected\b"
    r"|\bnumber of nan iterations:\s+[1-9]"
    # By a sentence.
    r"|\bfound (?:nan|inf) in (?:local )?(?:forward |grad|loss)"
    r"|\b(?:nan|inf(?:inite)?|non-?finite) (?:or inf )?(?:(?:training|validation|train) )?loss"
    r"(?:, (?:ending|stopping|aborting)| (?:detected|encountered|found|at (?:step|iteration)))\b"
    r"|\bloss (?:became|has become|diverged to|contains|went to) (?:nan|inf(?:inity|inite)?)\b"
    r"|\bloss is (?:inf(?:inity)?\b|not finite: |infinite or nan\b)"
    r"|\bdetected (?:nan and/or inf values in\b|(?:nan|inf) in (?:the )?(?:\w+ )?loss\b)"
    r"|\bloss returned in \S+ is (?:tensor\()?(?:nan|inf)\b"
    r"|\bUnexpected result [-+]?(?:nan|inf) on rank \d"
)
# The rest of a line that tells of no NaN and of no infinity but the one.
_REST = r"(?:[^in]|n[^a]|na[^n]|nan[a-z]|i[^n]|in[^f]|inf[a-hj-z])*"
_NOT_NAN = (
    r"(?i)\bloss_(?:scal\w*|mask)['\"]?\s*[:=]\s*['\"]?[-+]?(?:nan|inf)|\bin 0 (?:batch|step|iter)"
    r"|\b(?:if|when|whether|in case|check(?:s|ing)?|skip(?:s|ping)?|avoid)\b[^:|=]*"
    r"(?:\bloss (?:is |becomes |became |contains )?(?:nan|inf)\b|\bfound (?:nan|inf)\b"
    r"|\b(?:nan|inf|infinite|non-?finite) (?:\w+ )?loss|\b(?:nan|inf) in (?:the )?(?:\w+ )?loss)"
    r"|\bloss(?: is)? nan[ -](?:check\w*|guards?|detect\w*|toleran\w*|handling|filter\w*)\b"
    r"|\bloss inf-|\b(?:raise [\w.]+|print|warn|log\w*\.\w+)\([a-z]?[a-z]?[\"'][^\"']*\b(?:nan|inf)\b"
    r"|\bloss(?: is)? nan\??(?: counts?)?['\"]?\s*[:=]?\s*(?:0|false|no)\b"
    # Somebody looked, or asks: `Found NaN in loss: 0`, `my loss is NaN, what should I do?`.
    r"|\b(?:nan|inf)(?: (?:in )?(?:the )?(?:\w+ )?loss)?(?: detected| found)?['\"]?\s*[:=?]\s*['\"]?"
    r"(?:false|no|none|null|0)(?:[^.%\w]|$)"
    r"|\b(?:nan|inf)\b[^.!]*\b(?:what|how|why|should|can|is|does)\b[^.!]*\?\W*$"
    r"|\b(?:my|your|why|how)\b[^:|]*\bloss\w*(?: is| =|=)? ?(?:nan|inf)\b"
    r"|\bnan \((?:no (?:eval|valid|batch|data|sample)|not (?:available|computed|evaluated|measured))"
    # The best loss so far, or the least, is infinite at first.
    rf"|^{_REST}\b(?:best|lowest|least|min(?:imum)?|initial|prev(?:ious)?|max(?:imum)?|target)"
    rf"[ _/-](?:[\w/.-]+ ){{0,2}}\w*{_LOSS}{_VALUE}inf(?:inity)?\b{_REST}(?:i|n|in|na)?$"
    r"|\bassert\b.*,\s*[a-z]?[\"'][^\"']*\b(?:nan|inf)\b|^\s+#[^#:]*\bnan\b"
)
_CHECKPOINT = (
    r"(?i)\b(?:fail(?:ed|ure)|error|exception|unable|could not|cannot|can't)\b:?(?: \w+){0,3}"
    r" (?:sav|writ|upload|stor|persist|finaliz|serializ)\w*\b"
    r"(?:\W+\w+){0,4}\W+(?:checkpoint|ckpt|state_dict|optimizer states?)"
    r"|(?:\b|_)(?:checkpoint|ckpt)(?:ing)?(?: \w+){0,3} fail(?:ed|ure)\b"
    r"|\bsaving (?:the |an? )?checkpoint\b.* failed: "
    r"|\bSafetensorError: Error while serializing"
    r"|\bCheckpointException\b|\bPytorchStreamWriter failed writing file\b"
    r"|\benforce fail at inline_container\.cc:\d+\] \. unexpected pos \d"
)
_NOT_CHECKPOINT = (
    r"(?i)\bfail(?:ed|ures?)(?: \w+){0,3}['\"]?\s*[:=]\s*['\"]?(?:0|true|false|enabled|disabled)['\"]?"
    r"\s*(?:$|[,;|)}\]])"
    r"|\b(?:checkpoint|ckpt) (?:load|restor|read)\w* (?:has |was )?fail|\bno (?:checkpoint|ckpt) fail"
    r"|\bno (?:errors?|exceptions?|failures?) (?:\w+ ){0,2}"
    r"(?:sav|writ|upload|stor|persist|finaliz|serializ)"
    r"|\bon[ _-](?:checkpoint|ckpt)(?:[ _-]\w+){0,2}[ _-]fail\w*\s*[:=]\s*['\"]?"
    r"(?:abort|continue|exit|ignore|raise|retry|skip|stop|warn)"
    r"|\b(?:resum|restart|restor|recover|continu|load)\w* (?:\w+ ){0,4}(?:checkpoint|ckpt)s? "
    r"(?:after|following|on|upon) (?:\w+ ){0,3}fail"
    r"|\berror if\b|\braise an? error when\b|\bif (?:\w+ ){0,3}(?:failed|cannot|could not|unable)\b"
)
_ECC = (
    r"(?i)\buncorrectable ecc error|\bdouble[- ]bit ecc error|\bunrecovered ecc error"
    r"|\becc error\b\W+(?:\w+\W+){0,3}uncorrect(?:able|ed)\b"
    r"|\bamdgpu\b.*\b[1-9]\d*(?: new)? uncorrectable hardware errors? detected\b"
    r"|\bEDAC \w+: [1-9]\d* UE\b"
)
_NOT_ECC = (
    r"(?i)\becc errors?(?: \w+){0,2}['\"]?\s*[:=]\s*(?:0|none)\b"
    r"|\b(?:no|zero|without|for|if)(?: any)?(?: \w+)? ecc error|(?:^|[:=,(])\s*0 (?:\w+ )?ecc errors"
)

DOCUMENTS: tuple[Document, ...] = (
    log(
        "OOMDetected",
        "critical",
        "oom",
        _OUT_OF_MEMORY,
        "Out of memory",
        exclude=_NOT_OUT_OF_MEMORY,
    ),
    log(
        "NCCLError",
        "critical",
        "nccl_error",
        _NCCL,
        "Collective communication failed",
        exclude=_NOT_NCCL,
    ),
    log("NaNLoss", "critical", "nan_loss", _NAN, "The loss is not a number", exclude=_NOT_NAN),
    log(
        "CheckpointFailed",
        "critical",
        "checkpoint_failed",
        _CHECKPOINT,
        "A checkpoint was not saved",
        exclude=_NOT_CHECKPOINT,
    ),
    log("ECCError", "critical", "ecc", _ECC, "Uncorrectable memory error", exclude=_NOT_ECC),
)
