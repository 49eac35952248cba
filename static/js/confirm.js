// Asks before a form is sent. On the form or on its button:
// data-confirm (the question), data-confirm-text, data-confirm-ok (the verb), data-confirm-type (text to
// type first), data-confirm-loss (something is lost for good: the button turns red), and
// data-confirm-reason="field" with data-confirm-reason-label (asks why; the answer is sent as that field).
(() => {
  const { $, strings } = window.UI;
  const dialog = $("#confirm");
  const agreed = new WeakSet();

  function ask({ title, text, ok, type, loss, reason, reasonLabel }) {
    const button = $("#confirm-ok");
    const typed = $("#confirm-input");
    const why = $("#confirm-reason");
    $("#confirm-title").textContent = title;
    $("#confirm-text").textContent = text ?? "";
    button.textContent = ok ?? title;
    button.className = loss ? "btn btn-danger" : "btn btn-primary";
    typed.value = "";
    why.value = "";
    $("#confirm-type").hidden = !type;
    $("#confirm-why").hidden = !reason;
    if (type) $("#confirm-type label").textContent = strings.typeToConfirm.replace("%s", type);
    if (reason) $("#confirm-why label").textContent = reasonLabel ?? strings.reason;
    const check = () => { button.disabled = Boolean((type && typed.value !== type) || (reason && !why.value.trim())); };
    typed.oninput = check;
    why.oninput = check;
    check();
    dialog.returnValue = "cancel";
    dialog.showModal();
    (reason ? why : type ? typed : $("#confirm-cancel")).focus();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok" ? { reason: why.value.trim() } : null), { once: true });
    });
  }
  $("#confirm-cancel").addEventListener("click", () => dialog.close("cancel"));

  function setField(form, name, value) {
    let field = form.elements.namedItem(name);
    if (!field) {
      field = Object.assign(document.createElement("input"), { type: "hidden", name });
      form.append(field);
    }
    field.value = value;
  }

  // Captured on the way down, so that neither htmx nor the double-send guard sees an unconfirmed form.
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const button = event.submitter;
    const data = button?.dataset.confirm ? button.dataset : form.dataset;
    if (!data.confirm || agreed.delete(form)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const answer = await ask({
      title: data.confirm, text: data.confirmText, ok: data.confirmOk, type: data.confirmType,
      loss: "confirmLoss" in data, reason: data.confirmReason, reasonLabel: data.confirmReasonLabel,
    });
    if (!answer) { button?.focus(); return; }
    if (data.confirmReason) setField(form, data.confirmReason, answer.reason);
    agreed.add(form);
    form.requestSubmit(button?.isConnected ? button : undefined);
  }, true);

  window.UI.confirmAction = ask;
})();
