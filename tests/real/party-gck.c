/* SPDX-License-Identifier: BSD-3-Clause */
/* gck, GNOME's binding, as a party: it loads the configured modules through libp11-kit. */
#define GCK_API_SUBJECT_TO_CHANGE
#include "party.h"

#include <gck/gck.h>
#include <stdio.h>
#include <string.h>

static GckSession *session;
static GckObject *key;

/* Frees the error. */
static bool
failed(const char *what, GError *error)
{
	party_failed(&party_gck, what, error ? error->message : "nothing was found");
	g_clear_error(&error);
	return false;
}

/* The slot of the token with that label; the caller unrefs it. */
static GckSlot *
find_slot(const char *label)
{
	GError *error = NULL;
	GList *modules = gck_modules_initialize_registered(NULL, &error);
	GckSlot *found = NULL;

	if (error) {
		failed("gck_modules_initialize_registered", error);
		return NULL;
	}
	GList *slots = gck_modules_get_slots(modules, TRUE);
	for (GList *at = slots; at; at = at->next) {
		GckTokenInfo *info = gck_slot_get_token_info(at->data);
		if (!found && info && !strcmp(info->label, label))
			found = g_object_ref(at->data);
		g_clear_pointer(&info, gck_token_info_free);
	}
	g_list_free_full(slots, g_object_unref);
	g_list_free_full(modules, g_object_unref);
	if (!found)
		failed("finding the token", NULL);
	return found;
}

static bool
log_in(const char *pin)
{
	GError *error = NULL;

	if (gck_session_login(session, CKU_USER, (const guchar *)pin, strlen(pin), NULL, &error))
		return true;
	/* The token is logged in or not for the whole process: another party may have done it. */
	if (!g_error_matches(error, GCK_ERROR, CKR_USER_ALREADY_LOGGED_IN))
		return failed("gck_session_login", error);
	g_clear_error(&error);
	return true;
}

static bool
find_key(const char *label)
{
	GError *error = NULL;
	GckBuilder builder = GCK_BUILDER_INIT;

	gck_builder_add_ulong(&builder, CKA_CLASS, CKO_PRIVATE_KEY);
	gck_builder_add_string(&builder, CKA_LABEL, label);
	GckAttributes *match = gck_attributes_ref_sink(gck_builder_end(&builder));
	GList *objects = gck_session_find_objects(session, match, NULL, &error);
	gck_attributes_unref(match);
	if (!objects)
		return failed("finding the key", error);
	key = g_object_ref(objects->data);
	g_list_free_full(objects, g_object_unref);
	return true;
}

static bool
start(const struct party_setting *setting)
{
	GError *error = NULL;
	GckSlot *slot = find_slot(setting->token);

	if (!slot)
		return false;
	session = gck_slot_open_session(slot, GCK_SESSION_READ_ONLY, NULL, &error);
	g_object_unref(slot);
	if (!session)
		return failed("gck_slot_open_session", error);
	return log_in(setting->pin) && find_key(setting->key);
}

static size_t
sign(const struct party_setting *setting, unsigned char out[PARTY_MAX_SIGNATURE])
{
	GError *error = NULL;
	gsize length = 0;
	guchar *signature = gck_session_sign(session, key, CKM_SHA256_RSA_PKCS, setting->data,
					     setting->data_length, &length, NULL, &error);

	if (!signature) {
		failed("gck_session_sign", error);
		return 0;
	}
	if (length > PARTY_MAX_SIGNATURE)
		length = 0;
	memcpy(out, signature, length);
	g_free(signature);
	return length;
}

static bool
stop(void)
{
	g_clear_object(&key);
	g_clear_object(&session);
	return true;
}

const struct party party_gck = {"gck", start, sign, stop};
